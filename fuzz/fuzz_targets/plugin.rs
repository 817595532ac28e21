//! Fuzzes the property in `fuzz::plugin`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("plugin"), |data: &[u8]| fuzz::plugin::check(data));
