// rewrite.cpp: two rewrites. `extern __shared__ T name[];` becomes a pointer to the dynamic shared memory; the file goes into an unnamed namespace, and for each
// extern "C" kernel a thunk follows that unpacks the launch's parameters. Line markers keep the positions of errors.
#include "rewrite.h"
#include <algorithm>
#include <cctype>

namespace emu
{
struct Token
{
    size_t begin, end;
    bool word;
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

// Words, strings and single characters; line markers and white space are left out.
static std::vector<Token> tokens_of(const std::string& s)
{
    std::vector<Token> found;
    bool line_start = true;
    for (size_t i = 0; i < s.size();)
    {
        char c = s[i];
        size_t begin = i;
        if (c == '#' && line_start)
        {
            i = std::min(s.find('\n', i), s.size());
            continue;
        }

        if (isspace((unsigned char)c))
        {
            line_start = c == '\n' || line_start;
            i++;
            continue;
        }

        line_start = false;
        if (c == '"' || c == '\'')
        {
            for (i++; i < s.size() && s[i] != c; i++)
            {
                i += s[i] == '\\';
            }

            i++;
        }
        else if (is_word(c))
        {
            // The quotes of 1'000 belong to the number.
            while (i < s.size() && (is_word(s[i]) || (isdigit((unsigned char)c) && s[i] == '\'')))
            {
                i++;
            }
        }
        else
        {
            i++;
        }

        found.push_back({begin, std::min(i, s.size()), is_word(c)});
    }

    return found;
}

struct Scanner
{
    const std::string& text;
    std::vector<Token> tokens;

    std::string at(size_t i) const
    {
        return i < tokens.size() ? text.substr(tokens[i].begin, tokens[i].end - tokens[i].begin) : "";
    }

    // The token after the bracket that closes the one at i.
    size_t after_brackets(size_t i) const
    {
        int depth = 0;
        for (; i < tokens.size(); i++)
        {
            depth += at(i) == "(" ? 1 : at(i) == ")" ? -1 : 0;
            if (depth == 0)
            {
                return i + 1;
            }
        }

        return i;
    }

    // Whether `extern "C"` stands in the declaration that token i belongs to.
    bool has_c_linkage(size_t i) const
    {
        while (i-- > 0)
        {
            std::string t = at(i);
            if (t == ";" || t == "}" || t == "{")
            {
                return false;
            }

            if (t == "\"C\"")
            {
                return true;
            }
        }

        return false;
    }

    // The name of the kernel whose __global__ is token i; empty where it is none that can be found by name.
    std::string kernel_name(size_t i) const
    {
        if (!has_c_linkage(i))
        {
            return "";
        }

        for (i++; i < tokens.size() && tokens[i].word;)
        {
            std::string t = at(i);
            if (at(i + 1) != "(")
            {
                i++;
            }
            else if (t == "__launch_bounds__" || t == "__maxnreg__" || t == "__attribute__" || t == "__align__")
            {
                i = after_brackets(i + 1);
            }
            else
            {
                return t;
            }
        }

        return "";
    }

    // extern __shared__ [alignas(n)] type name [ ] ;
    std::string dynamic_array(size_t first, size_t end) const
    {
        std::string type, name;
        for (size_t i = first; i < end; i++)
        {
            std::string t = at(i);
            if (t == "__align__" || t == "alignas" || t == "__attribute__")
            {
                i = after_brackets(i + 1) - 1;
            }
            else if (at(i + 1) == "[")
            {
                name = t;
                break;
            }
            else
            {
                type += t + " ";
            }
        }

        return type + "* const& " + name + " = (" + type + "* const&)emu_dynamic_shared;";
    }
};

Rewritten rewrite(const std::string& text)
{
    Scanner s{text, tokens_of(text)};
    Rewritten result;
    std::string body;
    size_t copied = 0;
    for (size_t i = 0; i < s.tokens.size(); i++)
    {
        std::string t = s.at(i);
        if (t == "__global__")
        {
            std::string name = s.kernel_name(i);
            if (!name.empty() && std::find(result.kernels.begin(), result.kernels.end(), name) == result.kernels.end())
            {
                result.kernels.push_back(name);
            }
        }
        else if (t == "extern" && s.at(i + 1) == "__shared__")
        {
            size_t end = i;
            while (end < s.tokens.size() && s.at(end) != ";")
            {
                end++;
            }

            body += text.substr(copied, s.tokens[i].begin - copied) + s.dynamic_array(i + 2, end);
            copied = end < s.tokens.size() ? s.tokens[end].end : text.size();
            i = end;
        }
    }

    body += text.substr(copied);
    result.text = "namespace {\n" + body + "\n}\n";
    for (const std::string& name : result.kernels)
    {
        result.text += "extern \"C\" EMU_THUNK void emu_thunk_" + name + "(void** p) { emu_call(" + name + ", p); }\n";
        result.text += "extern \"C\" EMU_THUNK int emu_sizes_" + name + "(int* sizes) { return emu_sizes(" + name + ", sizes); }\n";
    }

    return result;
}
} // namespace emu
