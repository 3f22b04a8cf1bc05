void kernel_main() { /* add */ }
