namespace fmt {
int version() { return 110104; }
}  // namespace fmt
