#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keepsync_fuzz::run("file", data));
