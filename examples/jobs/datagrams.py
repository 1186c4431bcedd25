# Reads datagrams from a socket that it inherits: try  echo hello >/dev/udp/127.0.0.1/8125  in bash.

import argparse
import socket

parser = argparse.ArgumentParser()
parser.add_argument("--fd", type=int, required=True, help="the inherited socket")

with socket.socket(fileno=parser.parse_args().fd) as listener:
    listener.setblocking(True)
    while True:
        data, sender = listener.recvfrom(65535)
        print(f"{sender[0]}:{sender[1]}: {data.decode(errors='replace').rstrip()}", flush=True)
