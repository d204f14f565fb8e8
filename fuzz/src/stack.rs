//! A stack for signals: an input that overflows the stack is only written down where the fuzzer's handler has one to
//! run on.

/// The handler collects a stack trace.
const BYTES: usize = 256 << 10;

/// To be called once, on the thread that runs the targets.
// The system has no other way to be told.
#[allow(unsafe_code)]
pub fn serve_signals() {
    let stack: &'static mut [u8] = Box::leak(vec![0; BYTES].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: BYTES };
    // The memory is never given back, and `stack` is read before the call returns.
    let outcome = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
    assert_eq!(outcome, 0, "no stack for signals");
}
