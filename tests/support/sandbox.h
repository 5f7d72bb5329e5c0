// For tests: system calls that fail, as in a sandbox. Seccomp filters hold for the thread that
// installs them and those it starts, so each case runs in a thread of its own.
#pragma once

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <iterator>
#include <thread>
#include <utility>

namespace st::testkit {

template <typename Body>
void in_own_thread(Body&& body) {
  std::thread(std::forward<Body>(body)).join();
}

// Emulators have no filters.
inline bool can_forbid() { return ::prctl(PR_GET_SECCOMP) >= 0; }

// From now on this system call fails with `error`; if `flags` is not 0, only when its third
// argument has one of those bits.
inline void forbid(unsigned call, unsigned error, unsigned flags = 0) {
  const sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | (flags != 0 ? BPF_JSET : BPF_JGE) | BPF_K, flags, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), const_cast<sock_filter*>(filter)};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

}  // namespace st::testkit
