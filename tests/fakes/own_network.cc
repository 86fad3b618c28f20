#include "tests/fakes/own_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace tokend::fakes {
namespace {

void Ask(int control, unsigned long what, const ifreq& request) {
  if (ioctl(control, what, &request) != 0) throw std::runtime_error("the network cannot be set up");
}

// Of an alias of the loopback, which is there as long as it has an address.
void SetAddress(int control, const char* address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, address, &in.sin_addr);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo:1");
  std::memcpy(&request.ifr_addr, &in, sizeof(in));
  Ask(control, SIOCSIFADDR, request);
}

}  // namespace

OwnNetwork::OwnNetwork() : outside_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (unshare(CLONE_NEWNET) != 0) return;
  control_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq up{};
  std::strcpy(up.ifr_name, "lo");
  up.ifr_flags = IFF_UP | IFF_RUNNING;
  Ask(control_, SIOCSIFFLAGS, up);
  GiveAddressBack();
}

OwnNetwork::~OwnNetwork() {
  if (permitted()) {
    close(control_);
    setns(outside_, CLONE_NEWNET);
  }
  close(outside_);
}

void OwnNetwork::TakeAddressAway() { SetAddress(control_, "0.0.0.0"); }
void OwnNetwork::GiveAddressBack() { SetAddress(control_, kAddress); }

}  // namespace tokend::fakes
