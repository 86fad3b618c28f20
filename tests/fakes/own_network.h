#pragma once

namespace tokend::fakes {

// Moves the calling thread into a new network namespace; threads and programs that it starts later are in it
// too. The namespace has only the loopback device, with one more address that a test can remove and restore.
// While the address is removed, packets to it are lost and connections stay open. The destructor moves the
// thread back to its first namespace.
class OwnNetwork {
 public:
  static constexpr char kAddress[] = "10.255.0.1";

  OwnNetwork();
  ~OwnNetwork();
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;

  // Whether the namespace could be made. That needs CAP_SYS_ADMIN and a kernel with network namespaces.
  bool permitted() const { return control_ >= 0; }

  void TakeAddressAway();
  void GiveAddressBack();

 private:
  void Leave();

  int outside_ = -1;
  int control_ = -1;
};

}  // namespace tokend::fakes
