//! Fuzzes the property in `fuzz::webauthn`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("webauthn"), |data: &[u8]| fuzz::webauthn::check(data));
