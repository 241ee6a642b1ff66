//! What c/lua_config.h puts into Lua.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::ffi;

use crate::door;

/// Before an error or a yield leaves a protected call. Running out of memory is no error that a
/// script could catch; all others cost what they take, which no instruction count shows.
#[unsafe(no_mangle)]
extern "C" fn restroy_before_throw(status: c_int) {
    if status == ffi::LUA_ERRMEM {
        door::out_of_memory();
    }
    door::throw();
}

/// The number that stands for an object where Lua would show its address: counted from 1 in the
/// order in which scripts ask.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn restroy_identity(state: *mut ffi::lua_State, index: c_int) -> *const c_void {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    // SAFETY: called by luaL_tolstring with a valid state and index; the stack is left as it was.
    unsafe {
        let index = ffi::lua_absindex(state, index);
        ffi::luaL_checkstack(state, 6, std::ptr::null());
        if ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, c"restroy.identities".as_ptr()) != ffi::LUA_TTABLE {
            ffi::lua_pop(state, 1);
            ffi::lua_createtable(state, 0, 0);
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushstring(state, c"k".as_ptr());
            ffi::lua_setfield(state, -2, c"__mode".as_ptr());
            ffi::lua_setmetatable(state, -2);
            ffi::lua_pushvalue(state, -1);
            ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, c"restroy.identities".as_ptr());
        }
        ffi::lua_pushvalue(state, index);
        let number = if ffi::lua_rawget(state, -2) == ffi::LUA_TNUMBER {
            ffi::lua_tointeger(state, -1) as usize
        } else {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            ffi::lua_pushvalue(state, index);
            ffi::lua_pushinteger(state, number as ffi::lua_Integer);
            ffi::lua_rawset(state, -4);
            number
        };
        ffi::lua_pop(state, 2);
        number as *const c_void
    }
}

/// `string.format("%p", …)`.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn restroy_refuse_pointer(state: *mut ffi::lua_State) -> *const c_void {
    // SAFETY: called by string.format with a valid state; does not return.
    unsafe { ffi::luaL_error(state, c"addresses are not available (%%p)".as_ptr()) };
    std::ptr::null()
}
