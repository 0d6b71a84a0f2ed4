// A Kubernetes control plane as one program, for scripts/k8s_proof.py: its first argument says which part.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	_ "time/tzdata"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("kube key | kube etcd FOLDER CLIENTS PEERS | kube apiserver ... | kube controllers ...")
	}
	part := os.Args[1]
	os.Args = append([]string{part}, os.Args[2:]...)
	switch {
	case part == "etcd" && len(os.Args) == 4:
		fail(etcd(os.Args[1], os.Args[2], os.Args[3]))
	case part == "key" && len(os.Args) == 1: // that signs the tokens of service accounts, to stdout
		fail(key())
	case part == "apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case part == "controllers":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	default:
		fail("no such part: " + part)
	}
}

// One member over a folder, until it fails. clients, peers: the addresses that it listens on.
func etcd(folder, clients, peers string) error {
	config := embed.NewConfig()
	config.Dir, config.LogLevel = folder, "error"
	config.UnsafeNoFsync = true // what it holds is gone with the proof
	config.ListenClientUrls, config.ListenPeerUrls = address(clients), address(peers)
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = config.ListenClientUrls, config.ListenPeerUrls
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	return <-server.Err()
}

func key() error {
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(made)
	if err != nil {
		return err
	}
	return pem.Encode(os.Stdout, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func address(text string) []url.URL {
	parsed, err := url.Parse(text)
	if err != nil {
		fail(err)
	}
	return []url.URL{*parsed}
}

func fail(why any) {
	if why == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
