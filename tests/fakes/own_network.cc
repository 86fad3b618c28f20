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

namespace tokend::fakes {
namespace {

// Sets the address of an alias of the loopback device. The alias exists as long as it has an address.
bool SetAddress(int control, const char* address) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, address, &in.sin_addr);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo:1");
  std::memcpy(&request.ifr_addr, &in, sizeof(in));
  return ioctl(control, SIOCSIFADDR, &request) == 0;
}

bool RaiseLoopback(int control) {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(control, SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

OwnNetwork::OwnNetwork() : outside_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (outside_ < 0 || unshare(CLONE_NEWNET) != 0) return;
  control_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (!RaiseLoopback(control_) || !SetAddress(control_, kAddress)) Leave();
}

OwnNetwork::~OwnNetwork() {
  if (permitted()) Leave();
  close(outside_);
}

void OwnNetwork::Leave() {
  close(control_);
  control_ = -1;
  setns(outside_, CLONE_NEWNET);
}

void OwnNetwork::TakeAddressAway() {
  if (!SetAddress(control_, "0.0.0.0")) throw std::runtime_error("the address cannot be taken away");
}
void OwnNetwork::GiveAddressBack() {
  if (!SetAddress(control_, kAddress)) throw std::runtime_error("the address cannot be given back");
}

}  // namespace tokend::fakes
