//! Fuzzes the property in `fuzz::approvers`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("approvers"), |data: &[u8]| fuzz::approvers::check(data));
