// A formatter for one argument.
#pragma once
#include <string>

namespace fmt {
inline namespace v11 {
inline std::string format(const std::string& text, const std::string& argument) {
    auto at = text.find("{}");
    return at == text.npos ? text : text.substr(0, at) + argument + text.substr(at + 2);
}
}  // namespace v11
}  // namespace fmt
