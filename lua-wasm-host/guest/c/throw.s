# LUAI_TRY and LUAI_THROW (lua_config.h) as WebAssembly exceptions.
# As with C++ exceptions, what is caught is the innermost protected call, and the status that
# luaD_throw stored tells what happened, so the exception carries nothing.

	.globaltype	__stack_pointer, i32
	.tagtype	restroy_lua_error

	.globl	restroy_try
	.type	restroy_try,@function
restroy_try:
	.functype	restroy_try (i32, i32, i32) -> ()
	.local	i32
	global.get	__stack_pointer
	local.set	3
	block
	try_table (catch restroy_lua_error 0)
	local.get	1
	local.get	2
	local.get	0
	call_indirect	(i32, i32) -> ()
	return
	end_try_table
	end_block
	local.get	3
	global.set	__stack_pointer
	end_function

	.globl	restroy_throw
	.type	restroy_throw,@function
restroy_throw:
	.functype	restroy_throw () -> ()
	throw	restroy_lua_error
	end_function

	.globl	restroy_lua_error
restroy_lua_error:
