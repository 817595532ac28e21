//! Fuzzes the property in `fuzz::envelope`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("envelope"), |data: &[u8]| fuzz::envelope::check(data));
