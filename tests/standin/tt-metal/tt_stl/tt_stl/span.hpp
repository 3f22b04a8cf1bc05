#pragma once
#include <span>
#include <string>
#include <vector>

namespace ttsl {
using Span = std::span<const float>;
/// The values, for messages.
std::string to_string(Span values);
}  // namespace ttsl
