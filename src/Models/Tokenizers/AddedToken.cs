namespace Graft.Models.Tokenizers;

/// <summary>A token that was added to a vocabulary and is found in the text before all else.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
/// <param name="IsSpecial">Control token: left out by decoding when asked.</param>
/// <param name="IsNormalized">Looked for in the normalized text, by its own normalized form.</param>
/// <param name="IsSingleWord">Found only where no word character touches it.</param>
/// <param name="StripsLeft">Swallows white space before it.</param>
/// <param name="StripsRight">Swallows white space after it.</param>
public sealed record AddedToken(int Id, string Content, bool IsSpecial, bool IsNormalized, bool IsSingleWord, bool StripsLeft, bool StripsRight);
