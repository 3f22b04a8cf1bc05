// In no install component, as some of upstream's at 0.79.
#include "api/compute/add.h"

void kernel_main() { add_tiles(); }
