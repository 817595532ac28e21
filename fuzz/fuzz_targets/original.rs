//! Fuzzes the property in `fuzz::original`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("original"), |data: &[u8]| fuzz::original::check(data));
