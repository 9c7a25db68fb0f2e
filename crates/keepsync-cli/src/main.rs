//! The `keepsync` command.

fn main() {}
