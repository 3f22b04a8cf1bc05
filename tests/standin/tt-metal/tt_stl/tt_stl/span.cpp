#include "tt_stl/span.hpp"

#include <sstream>

namespace ttsl {
std::string to_string(Span values) {
    std::ostringstream out;
    for (float value : values) {
        out << value << ' ';
    }
    return out.str();
}
}  // namespace ttsl
