package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// kamailioConfig is the smallest stateful relay: registrar in memory, no
// authentication, no Record-Route; nothing that would cost it more than the job.
const kamailioConfig = `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=2
tcp_children=%CHILDREN%
tcp_max_connections=40000
tcp_connection_lifetime=3605
tcp_accept_no_cl=yes
disable_tcp=no
auto_aliases=no
dns=no
rev_dns=no
%TLS%
listen=%LISTEN%
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
%TLSMOD%
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 7200)
request_route {
	if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
	if (method == "REGISTER") { if (!save("location")) { sl_reply_error(); } exit; }
	if (method == "MESSAGE") {
		if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
		if (!t_relay()) { sl_reply_error(); }
		exit;
	}
	sl_send_reply("405", "Method Not Allowed");
}
`

// startKamailio runs Debian's kamailio on addr. TLS is used when cert is given.
func startKamailio(dir, addr string, workers int, cert, key string) (*server, error) {
	bin, err := exec.LookPath("kamailio")
	if err != nil {
		return nil, fmt.Errorf("kamailio is missing: apt-get install kamailio kamailio-tls-modules")
	}
	listen, tlsCore, tlsMod := "tcp:"+addr, "", ""
	if cert != "" {
		listen, tlsCore = "tls:"+addr, "enable_tls=yes"
		conf := filepath.Join(dir, "tls.cfg")
		text := fmt.Sprintf("[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\nprivate_key = %s\ncertificate = %s\n", key, cert)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		tlsMod = "loadmodule \"tls.so\"\nmodparam(\"tls\", \"config\", \"" + conf + "\")"
	}
	cfg := strings.NewReplacer("%LISTEN%", listen, "%TLS%", tlsCore, "%TLSMOD%", tlsMod, "%CHILDREN%", strconv.Itoa(workers)).Replace(kamailioConfig)
	file := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "-f", file, "-DD", "-E", "-m", "1024", "-M", "64", "-x", "fm", "-X", "fm", "-Y", dir, "-P", filepath.Join(dir, "pid"))
	return start("kamailio", cmd, dir, addr)
}
