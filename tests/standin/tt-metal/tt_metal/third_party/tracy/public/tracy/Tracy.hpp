#pragma once
namespace tracy {
int zones();
struct Zone {
    explicit Zone(const char* name);
};
}  // namespace tracy
