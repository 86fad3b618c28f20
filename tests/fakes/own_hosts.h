#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <fstream>
#include <string>

#include "tests/fakes/temporary_folder.h"

namespace tokend::fakes {

// Gives the calling thread an /etc/hosts of its own, in a new mount namespace. Threads that it starts later
// have it too. Nothing is restored: use it in a thread that the test ends.
class OwnHosts {
 public:
  explicit OwnHosts(const std::string& text) {
    const std::string file = folder_ / "hosts";
    std::ofstream(file) << text;
    permitted_ = unshare(CLONE_NEWNS) == 0 &&
                 mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                 mount(file.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
  }
  OwnHosts(const OwnHosts&) = delete;
  OwnHosts& operator=(const OwnHosts&) = delete;

  // Whether the namespace could be made. That needs CAP_SYS_ADMIN.
  bool permitted() const { return permitted_; }

 private:
  TemporaryFolder folder_;
  bool permitted_ = false;
};

}  // namespace tokend::fakes
