//! System calls by number, and what children do.

use std::ffi::CString;

/// An error number.
pub(crate) type Errno = i32;

/// `Ok` or the error of the last call.
pub(crate) fn check(result: i64) -> Result<i64, Errno> {
    if result < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(result) }
}

/// One system call.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: an attempt passes pointers to live memory of the call's own layout, or null.
        $crate::call::check(unsafe { libc::syscall(libc::$number $(, $argument)*) })
    };
}
pub(crate) use call;

/// A C string; attempts have no zero bytes in them.
pub(crate) fn text(value: &str) -> CString {
    CString::new(value).unwrap_or_default()
}

/// Runs `step` in a child; its error number is the child's exit status.
pub(crate) fn in_child(step: impl FnOnce() -> Result<i64, Errno>) -> Result<(), Errno> {
    // SAFETY: the program has one thread, so the child may do what it likes.
    let child = check(i64::from(unsafe { libc::fork() }))?;
    if child == 0 {
        let status = step().err().unwrap_or(0);
        // SAFETY: ends the child without the parent's buffers.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: `status` is live.
    check(i64::from(unsafe { libc::waitpid(i32::try_from(child).unwrap_or(0), &raw mut status, 0) }))?;
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(()),
        (true, errno) => Err(errno),
        (false, _) => Err(libc::EINTR),
    }
}

/// Starts a program in a child, its output thrown away.
pub(crate) fn start(program: &str, argument: &str) -> Result<(), Errno> {
    in_child(|| {
        let null = call!(SYS_openat, libc::AT_FDCWD, text("/dev/null").as_ptr(), libc::O_WRONLY)?;
        for fd in [1, 2] {
            call!(SYS_dup3, null, fd, 0)?;
        }
        let (path, argument) = (text(program), text(argument));
        let argv = [path.as_ptr(), argument.as_ptr(), std::ptr::null()];
        call!(SYS_execve, path.as_ptr(), argv.as_ptr(), [std::ptr::null::<u8>()].as_ptr())
    })
}

/// The name of an error number.
pub(crate) fn name(errno: Errno) -> String {
    let known = [
        (libc::EPERM, "EPERM"),
        (libc::EACCES, "EACCES"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINVAL, "EINVAL"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EXDEV, "EXDEV"),
        (libc::ESRCH, "ESRCH"),
        (libc::EBADF, "EBADF"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::EIO, "EIO"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    ];
    known
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("error {errno}"), |(_, name)| (*name).to_owned())
}
