/* The two functions Lua needs of an emulated <signal.h>: a sandbox has no signals. */
void (*signal(int number, void (*handler)(int)))(int) { (void)number; (void)handler; return 0; }
int raise(int number) { (void)number; return 0; }
