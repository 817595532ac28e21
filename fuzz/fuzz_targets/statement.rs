//! Fuzzes the property in `fuzz::statement`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("statement"), |data: &[u8]| fuzz::statement::check(data));
