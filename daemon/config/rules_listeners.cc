#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <map>
#include <string_view>

#include "daemon/config/address.h"
#include "daemon/config/rules.h"
#include "daemon/config/text.h"

namespace tokend::config {
namespace {

// Names that other kinds of authentication make.
constexpr std::array<std::string_view, 3> kReservedPrefixes = {"spiffe://", "dns:", "unix:"};

// By what they bind, so that other spellings of one host still count as others. Port 0 is free every time.
class BoundAddresses {
 public:
  explicit BoundAddresses(Report& report) : report_(report) {}

  void Bind(const Address& address, const std::string& path) {
    const auto* tcp = std::get_if<TcpAddress>(&address);
    if (tcp != nullptr && tcp->port == 0) return;
    const auto [first, is_first] = bound_.insert({ToString(address), path});
    if (!is_first) report_.Error(path, Concat({"is the same as ", first->second}));
  }

 private:
  Report& report_;
  std::map<std::string, std::string> bound_;
};

void CheckNone(const v1::NoAuthentication& none, const Address& address, const std::string& path,
               Report& report) {
  if (IsLocal(address)) {
    report.Warning(path, "whoever can connect is this caller: for development only");
  } else {
    report.Error(path, "is accepted only on a unix socket or a loopback address");
  }
  for (const std::string_view prefix : kReservedPrefixes) {
    if (!none.caller().starts_with(prefix)) continue;
    report.Error(Under(path, "caller"),
                 Concat({"must not begin with ", prefix, ", which another kind of authentication makes"}));
  }
}

void CheckListener(v1::Listener& listener, const Address& address, const std::string& path, Report& report) {
  if (!report.Has(Under(path, "tls")) && !IsLocal(address)) {
    report.Error(Under(path, "address"), "needs tls: it is neither a unix socket nor a loopback address");
  }
  if (std::holds_alternative<TcpAddress>(address)) {
    const std::string mode = Under(path, "socket_mode");
    if (report.Has(mode)) report.Error(mode, "is only for a unix socket");
    listener.clear_socket_mode();
  }
  if (const auto* socket = std::get_if<UnixAddress>(&address)) {
    struct stat folder {};
    const std::string parent = std::filesystem::path(socket->path).parent_path();
    if (stat(parent.c_str(), &folder) == 0 && (folder.st_mode & S_IWOTH) != 0) {
      report.Warning(Under(path, "address"),
                     "anyone may write to the socket's folder, and so put another socket in its place");
    }
  }
  const std::string authentication = Under(path, "authentication");
  if (listener.authentication().has_none()) {
    CheckNone(listener.authentication().none(), address, Under(authentication, "none"), report);
  }
}

}  // namespace

void ApplyListenerRules(v1::Config& schema, Report& report) {
  BoundAddresses bound(report);
  for (int i = 0; i < schema.listeners_size(); ++i) {
    v1::Listener& listener = *schema.mutable_listeners(i);
    const std::string path = Item("listeners", static_cast<std::size_t>(i));
    if (listener.authentication().has_mtls() && !report.Has(Under(path, "tls.client_ca_file"))) {
      report.Error(Under(path, "authentication.mtls"), "needs tls with client_ca_file");
    }
    if (!listener.has_address()) continue;
    const Address address = *ParseAddress(listener.address());
    CheckListener(listener, address, path, report);
    bound.Bind(address, Under(path, "address"));
  }
  if (schema.admin().has_address()) bound.Bind(*ParseAddress(schema.admin().address()), "admin.address");
}

}  // namespace tokend::config
