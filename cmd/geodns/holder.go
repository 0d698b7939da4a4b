package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// whoHolds says which processes hold a port, for the message when it cannot be
// listened on: "named (pid 812)", several separated by commas. If the owner is
// another user's process whose name may not be read, it says so with the user;
// "" means that nobody was found. proto is "udp" or "tcp".
func whoHolds(proto string, addr netip.AddrPort) string {
	return holdersIn("/proc", proto, addr)
}

func holdersIn(procfs, proto string, addr netip.AddrPort) string {
	sockets := map[string]socket{} // by the link that /proc/PID/fd shows
	for _, table := range []string{proto, proto + "6"} {
		f, err := os.Open(filepath.Join(procfs, "self", "net", table))
		if err != nil {
			continue // a machine without IPv6
		}
		for _, s := range readSockets(f, proto == "tcp") {
			if s.holds(addr) {
				sockets["socket:["+s.inode+"]"] = s
			}
		}
		f.Close()
	}
	if len(sockets) == 0 {
		return ""
	}
	names := processesWith(procfs, sockets)
	if len(names) > 0 {
		return strings.Join(names, ", ")
	}
	uids := map[string]bool{}
	for _, s := range sockets {
		uids[s.uid] = true
	}
	users := make([]string, 0, len(uids))
	for uid := range uids {
		users = append(users, uid)
	}
	slices.Sort(users)
	return "a process of user " + strings.Join(users, ", ") + " (root may see which)"
}

// socket is a line of /proc/net/{udp,udp6,tcp,tcp6} (proc_pid_net(5)).
type socket struct {
	local netip.AddrPort
	uid   string
	inode string
}

// holds reports whether s keeps the server from binding addr: the same port,
// and the same address or one of them all addresses. A socket on [::] may hold
// IPv4 too (unless it is IPV6_V6ONLY, which the tables don't show; the server's
// own are).
func (s socket) holds(addr netip.AddrPort) bool {
	if s.local.Port() != addr.Port() {
		return false
	}
	held, asked := s.local.Addr(), addr.Addr()
	switch {
	case held.Unmap() == asked.Unmap():
		return true
	case held == netip.IPv6Unspecified():
		return true
	}
	return held.Unmap().Is4() == asked.Is4() && (held.Unmap().IsUnspecified() || asked.IsUnspecified())
}

// listening is TCP_LISTEN as the tables show it.
const listening = "0A"

// readSockets reads a table; lines that it does not understand are left out.
func readSockets(r io.Reader, onlyListening bool) []socket {
	var out []socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || onlyListening && f[3] != listening {
			continue
		}
		if local, ok := parseLocal(f[1]); ok {
			out = append(out, socket{local: local, uid: f[7], inode: f[9]})
		}
	}
	return out
}

// parseLocal reads "0100007F:14E9": the address in 32-bit words of the
// machine's byte order, the port in network order.
func parseLocal(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(n)), true
}

// processesWith finds the processes that have one of the sockets open, by pid.
func processesWith(procfs string, sockets map[string]socket) []string {
	entries, err := os.ReadDir(procfs)
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && hasSocket(filepath.Join(procfs, e.Name(), "fd"), sockets) {
			pids = append(pids, pid)
		}
	}
	// The server itself may hold what is next to addr, so it comes into
	// question only if nobody else does.
	if others := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return pid == os.Getpid() }); len(others) > 0 {
		pids = others
	}
	slices.Sort(pids)
	names := make([]string, len(pids))
	for i, pid := range pids {
		names[i] = processName(procfs, pid)
	}
	return names
}

// hasSocket looks through a directory of open files. What may not be read, or
// has gone in the meantime, has none.
func hasSocket(dir string, sockets map[string]socket) bool {
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		link, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil {
			continue
		}
		if _, ok := sockets[link]; ok {
			return true
		}
	}
	return false
}

func processName(procfs string, pid int) string {
	comm, err := os.ReadFile(filepath.Join(procfs, strconv.Itoa(pid), "comm"))
	name := strings.TrimSpace(string(comm))
	if err != nil || name == "" {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", name, pid)
}
