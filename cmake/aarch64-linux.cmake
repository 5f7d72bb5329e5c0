# aarch64 Linux from a Debian machine, whose arm64 packages lie beside its own.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)

# Tests run in an emulator; the environment variable QEMU_CPU chooses the CPU.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
