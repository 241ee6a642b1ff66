/*
** Force-included into every Lua source file (toolchain/cc). Changes what a build of Lua may change
** from outside, so that Lua's own sources stay as published.
*/
#ifndef RESTROY_LUA_CONFIG_H
#define RESTROY_LUA_CONFIG_H

#define LUA_CORE /* as the core and the libraries define before they include it */
#include "luaconf.h"
#include "lua.h"
#undef LUA_CORE

/*
** Deep recursion ends with Lua's own "stack overflow" well within the smallest memory limit. The
** pseudo-index stays where it was: mlua-sys has it as a constant.
*/
#undef LUAI_MAXSTACK
#define LUAI_MAXSTACK 200000
#undef LUA_REGISTRYINDEX
#define LUA_REGISTRYINDEX (-1000000 - 1000)

/*
** Lua would take these from its clock and an address. The hash seed is part of the snapshot anyway,
** and the pivot only matters to lists made to be slow, which fuel bounds.
*/
#define luai_makeseed(L) 0x9e3779b9u
#define l_randomizePivot() 0x9e3779b9u

/*
** Errors are WebAssembly exceptions (c/throw.s) instead of setjmp and longjmp. Running out of memory
** is no error a script could catch: it ends the sandbox.
*/
extern void restroy_try(void (*f)(lua_State *, void *), lua_State *L, void *ud);
extern void restroy_throw(void) __attribute__((noreturn));
extern void restroy_before_throw(int status);
#define luai_jmpbuf int
#define LUAI_TRY(L, c, a) restroy_try(f, L, ud);
#define LUAI_THROW(L, c) \
  do { restroy_before_throw((c)->status); restroy_throw(); } while (0)

/* Scripts see a number per object instead of its address. */
extern const void *restroy_identity(lua_State *L, int idx);
extern const void *restroy_refuse_pointer(lua_State *L);
#if defined(RESTROY_LAUXLIB)
#define lua_topointer(L, idx) restroy_identity(L, idx)
#elif defined(RESTROY_LSTRLIB)
#define lua_topointer(L, idx) restroy_refuse_pointer(L)
#endif

#endif
