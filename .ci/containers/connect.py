"""Prints those of the words NAME=ADDRESS:PORT to which a TCP connection can be made, all tried at once."""

import asyncio
import sys

# A refused connection answers at once; a dropped one never.
TIMEOUT = 4


async def connect(word):
    name, target = word.split("=")
    address, port = target.split(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, int(port)), TIMEOUT)
    except (OSError, asyncio.TimeoutError):
        return
    writer.close()
    print(name)


async def main():
    await asyncio.gather(*map(connect, sys.argv[1:]))


asyncio.run(main())
