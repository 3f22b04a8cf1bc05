#include "tracy/Tracy.hpp"
static int count = 0;
namespace tracy {
int zones() { return count; }
Zone::Zone(const char*) { ++count; }
}  // namespace tracy
