#include "api/compute/add.h"

void kernel_main() { add_tiles(); }
