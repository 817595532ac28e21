//! Fuzzes the property in `fuzz::judge`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("judge"), |data: &[u8]| fuzz::judge::check(data));
