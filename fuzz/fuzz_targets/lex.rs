//! Fuzzes the property in `fuzz::lex`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("lex"), |data: &[u8]| fuzz::lex::check(data));
