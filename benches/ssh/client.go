// One x/crypto/ssh connection that runs what it is told: `COUNT COMMAND` on stdin, `NANOSECONDS OK FAILED BYTES` on stdout.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func one(client *ssh.Client, command string) (int, error) {
	session, err := client.NewSession()
	if err != nil {
		return 0, err
	}
	defer session.Close()
	out, err := session.Output(command)
	return len(out), err
}

func main() {
	port, user, key, known := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	text, err := os.ReadFile(key)
	must(err)
	signer, err := ssh.ParsePrivateKey(text)
	must(err)
	hosts, err := knownhosts.New(known)
	must(err)
	client, err := ssh.Dial("tcp", "127.0.0.1:"+port, &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback:   hosts,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	must(err)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		number, command, _ := strings.Cut(lines.Text(), " ")
		count, err := strconv.Atoi(number)
		must(err)
		sizes, failed := make([]int, count), make([]error, count)
		started := time.Now()
		if count == 1 {
			sizes[0], failed[0] = one(client, command)
		} else {
			var group sync.WaitGroup
			for i := 0; i < count; i++ {
				group.Add(1)
				go func(i int) { defer group.Done(); sizes[i], failed[i] = one(client, command) }(i)
			}
			group.Wait()
		}
		took := time.Since(started).Nanoseconds()
		ok, bytes := 0, 0
		for i := range sizes {
			if failed[i] == nil {
				ok++
			}
			bytes += sizes[i]
		}
		fmt.Println(took, ok, count-ok, bytes)
	}
}
