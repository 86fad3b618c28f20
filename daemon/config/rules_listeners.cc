#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string_view>

#include "daemon/base/caller_name.h"
#include "daemon/config/address.h"
#include "daemon/config/rules.h"
#include "daemon/config/text.h"

namespace tokend::config {
namespace {

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

void CheckNotReserved(std::string_view name, const std::string& path, Report& report) {
  const std::string_view prefix = ReservedPrefixOf(name);
  if (prefix.empty()) return;
  report.Error(path,
               Concat({"must not begin with ", prefix, ", which another kind of authentication makes"}));
}

void CheckNone(const v1::NoAuthentication& none, const Address& address, const std::string& path,
               Report& report) {
  if (IsLocal(address)) {
    report.Warning(path, "whoever can connect is this caller: for development only");
  } else {
    report.Error(path, "is accepted only on a unix socket or a loopback address");
  }
  CheckNotReserved(none.caller(), Under(path, "caller"), report);
}

void CheckUnix(const v1::UnixAuthentication& by_uid, const Address& address, const std::string& path,
               Report& report) {
  if (!std::holds_alternative<UnixAddress>(address)) report.Error(path, "is only for a unix socket");
  for (int i = 0; i < by_uid.callers_size(); ++i) {
    const v1::UnixCaller& caller = by_uid.callers(i);
    const std::string_view name = caller.name();
    if (!caller.has_name() || (name.starts_with(kUnixPrefix) && name != kUnixPrefix)) continue;
    report.Error(Under(Item(Under(path, "callers"), static_cast<std::size_t>(i)), "name"),
                 "must begin with unix: and go on");
  }
}

void CheckJwt(const v1::JwtAuthentication& jwt, const std::string& path, Report& report) {
  if (!report.Has(Under(path, "jwks_url"))) {
    for (const char* key : {"jwks_ca_file", "jwks_token_file"}) {
      if (report.Has(Under(path, key))) report.Error(Under(path, key), "is only for jwks_url");
    }
  }
  const std::string own_prefix = Concat({kSpiffePrefix, jwt.trust_domain(), "/"});
  if (!jwt.trust_domain().empty() && jwt.caller().starts_with(own_prefix)) return;
  CheckNotReserved(jwt.caller(), Under(path, "caller"), report);
}

void CheckSocketName(const std::string& socket, const std::string& path, Report& report) {
  const std::string folder = std::filesystem::path(socket).parent_path();
  constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  const std::size_t max_folder = kMaxPath - std::string_view("/").size() - kNewSocketName.size();
  if (folder.size() > max_folder) {
    report.Error(path, Concat({"the folder of a listener's socket has at most ", std::to_string(max_folder),
                               " bytes"}));
  }
}

// Whoever may replace the socket can be taken for this daemon.
void CheckSocketPlace(const std::string& socket, const std::string& path, Report& report) {
  const std::string folder = std::filesystem::path(socket).parent_path();
  struct stat found {};
  if (stat(folder.c_str(), &found) == 0) {
    if ((found.st_mode & S_IWOTH) != 0) {
      report.Warning(path, "anyone may write to the socket's folder, and so put another socket in its place");
    }
    if (found.st_uid != 0 && found.st_uid != geteuid()) {
      report.Warning(path, Concat({"the socket's folder is user ", std::to_string(found.st_uid),
                                   "'s, who may put another socket in its place"}));
    }
  }
  if (lstat(socket.c_str(), &found) != 0) return;
  if (!S_ISSOCK(found.st_mode)) {
    report.Error(path, S_ISLNK(found.st_mode) ? "a symbolic link is there: remove it first"
                                              : "something is there that is no socket: remove it first");
  } else if (found.st_uid != geteuid() && geteuid() != 0) {
    // Root may be asking on behalf of the daemon's user; a daemon of root's is as strict when it starts.
    report.Error(path, "another user's socket is there: remove it first");
  }
}

void CheckListener(v1::Listener& listener, const Address& address, const std::string& path, NamedFiles files,
                   Report& report) {
  if (!report.Has(Under(path, "tls")) && !IsLocal(address)) {
    report.Error(Under(path, "address"), "needs tls: it is neither a unix socket nor a loopback address");
  }
  if (std::holds_alternative<TcpAddress>(address)) {
    const std::string mode = Under(path, "socket_mode");
    if (report.Has(mode)) report.Error(mode, "is only for a unix socket");
    listener.clear_socket_mode();
  }
  if (const auto* socket = std::get_if<UnixAddress>(&address)) {
    CheckSocketName(socket->path, Under(path, "address"), report);
    if (files == NamedFiles::kJudged) CheckSocketPlace(socket->path, Under(path, "address"), report);
  }
  const std::string authentication = Under(path, "authentication");
  if (listener.authentication().has_none()) {
    CheckNone(listener.authentication().none(), address, Under(authentication, "none"), report);
  }
  if (listener.authentication().has_unix()) {
    CheckUnix(listener.authentication().unix(), address, Under(authentication, "unix"), report);
  }
}

}  // namespace

void ApplyListenerRules(v1::Config& schema, NamedFiles files, Report& report) {
  BoundAddresses bound(report);
  for (int i = 0; i < schema.listeners_size(); ++i) {
    v1::Listener& listener = *schema.mutable_listeners(i);
    const std::string path = Item("listeners", static_cast<std::size_t>(i));
    if (listener.authentication().has_mtls() && !report.Has(Under(path, "tls.client_ca_file"))) {
      report.Error(Under(path, "authentication.mtls"), "needs tls with client_ca_file");
    }
    if (listener.authentication().has_jwt()) {
      CheckJwt(listener.authentication().jwt(), Under(path, "authentication.jwt"), report);
    }
    if (!listener.has_address()) continue;
    const Address address = *ParseAddress(listener.address());
    CheckListener(listener, address, path, files, report);
    bound.Bind(address, Under(path, "address"));
  }
  if (schema.admin().has_address()) bound.Bind(*ParseAddress(schema.admin().address()), "admin.address");
}

}  // namespace tokend::config
