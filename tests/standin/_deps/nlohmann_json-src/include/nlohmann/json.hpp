#pragma once
#include <string>

namespace nlohmann {
inline namespace json_abi_v3_11_3_standin {

struct json {
    std::string text;
    std::string dump() const { return text; }
};

}  // namespace json_abi_v3_11_3_standin
}  // namespace nlohmann
