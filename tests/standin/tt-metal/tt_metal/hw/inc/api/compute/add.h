// In no install component, as some of upstream's at 0.79.
#pragma once
inline void add_tiles() {}
