//! What Lua may allocate, in all and at once.

use std::ffi::c_void;
use std::sync::OnceLock;

use mlua::{Lua, ffi};

/// No request may be larger: twice the most memory that a sandbox may have. mlua counts what is allocated in an
/// `isize`, which a request of nearly 2 GiB (`string.rep`) would make wrap, past its limit and into an abort.
const MAX_REQUEST: usize = 256 * 1024 * 1024;

static UNBOUNDED: OnceLock<ffi::lua_Alloc> = OnceLock::new();

/// Has Lua run out of memory where it would have more than `bytes`, or asks for more than [`MAX_REQUEST`] at once.
pub(crate) fn limit(lua: &Lua, bytes: usize) -> mlua::Result<()> {
    // Before the allocator is replaced, by which mlua knows that it keeps count.
    lua.set_memory_limit(bytes)?;
    // SAFETY: the allocator is replaced by one that passes on all that it is given, to the allocator that was there,
    // with the data that it was made for.
    unsafe {
        lua.exec_raw((), |state| {
            let mut data = std::ptr::null_mut();
            let unbounded = ffi::lua_getallocf(state, &mut data);
            if UNBOUNDED.set(unbounded).is_ok() {
                ffi::lua_setallocf(state, bounded, data);
            }
        })
    }
}

unsafe extern "C" fn bounded(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    match UNBOUNDED.get() {
        // SAFETY: called by Lua as it would call the other one.
        Some(unbounded) if new <= MAX_REQUEST => unsafe { unbounded(data, block, old, new) },
        _ => std::ptr::null_mut(),
    }
}
