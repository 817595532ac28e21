//! Fuzzes the property in `fuzz::sshsig`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write_if_asked("sshsig"), |data: &[u8]| fuzz::sshsig::check(data));
