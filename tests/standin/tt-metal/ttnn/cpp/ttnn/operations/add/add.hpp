#pragma once

namespace ttnn {

/// How often `add` was called in this process: two copies of the library would have two counts.
int additions();

}  // namespace ttnn
