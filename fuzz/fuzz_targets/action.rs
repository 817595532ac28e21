//! Fuzzes the property in `fuzz::action`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("action"), |data: &[u8]| fuzz::action::check(data));
