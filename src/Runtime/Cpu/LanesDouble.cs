namespace Graft.Runtime.Cpu;

/// <summary>One double: the slow and exact path on which the tests' oracles run.</summary>
internal readonly struct LanesDouble(double value) : ILanes<LanesDouble>
{
    public readonly double Value = value;

    public static LanesDouble Of(double value) => new(value);

    public static LanesDouble Of(float value) => new(value);

    public static LanesDouble operator +(LanesDouble left, LanesDouble right) => new(left.Value + right.Value);

    public static LanesDouble operator -(LanesDouble left, LanesDouble right) => new(left.Value - right.Value);

    public static LanesDouble operator *(LanesDouble left, LanesDouble right) => new(left.Value * right.Value);

    public static LanesDouble operator /(LanesDouble left, LanesDouble right) => new(left.Value / right.Value);

    public static LanesDouble operator -(LanesDouble value) => new(-value.Value);

    public static LanesDouble Fma(LanesDouble a, LanesDouble b, LanesDouble c) => new(Math.FusedMultiplyAdd(a.Value, b.Value, c.Value));

    public static LanesDouble Min(LanesDouble left, LanesDouble right) => new(Math.Min(left.Value, right.Value));

    public static LanesDouble Max(LanesDouble left, LanesDouble right) => new(Math.Max(left.Value, right.Value));

    public static LanesDouble Abs(LanesDouble value) => new(Math.Abs(value.Value));

    public static LanesDouble Sqrt(LanesDouble value) => new(Math.Sqrt(value.Value));

    public static LanesDouble CopySign(LanesDouble value, LanesDouble sign) => new(Math.CopySign(value.Value, sign.Value));

    public static LanesDouble Less(LanesDouble left, LanesDouble right) => Mask(left.Value < right.Value);

    public static LanesDouble Equal(LanesDouble left, LanesDouble right) => Mask(left.Value == right.Value);

    public static LanesDouble Select(LanesDouble mask, LanesDouble yes, LanesDouble no) => BitConverter.DoubleToInt64Bits(mask.Value) != 0 ? yes : no;

    public static LanesDouble Exp(LanesDouble value) => new(Math.Exp(value.Value));

    public static LanesDouble Exp2(LanesDouble value) => new(Math.Pow(2, value.Value));

    public static LanesDouble Log(LanesDouble value) => new(Math.Log(value.Value));

    public static LanesDouble Log1p(LanesDouble value) => new(DoubleMath.Log1p(value.Value));

    public static LanesDouble Tanh(LanesDouble value) => new(Math.Tanh(value.Value));

    public static LanesDouble Sigmoid(LanesDouble value) => new(DoubleMath.Sigmoid(value.Value));

    public static LanesDouble Erf(LanesDouble value) => new(DoubleMath.Erf(value.Value));

    private static LanesDouble Mask(bool set) => new(BitConverter.Int64BitsToDouble(set ? -1 : 0));
}
