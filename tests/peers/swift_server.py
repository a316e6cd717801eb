"""swift_server.py FOLDER PORT USER PASSWORD [IDENTITY]: OpenStack Swift with its S3 door, all of its servers, on the loopback address.

One replica of everything on one "disk". USER is "account:user"; the S3 access key is the same. With the address of a Keystone, it
lets in whom that lets in, USER is what it calls itself there ("project:user"), and it has no S3 door.
"""

import os
import socket
import subprocess
import sys

# Loaded once here for the processes forked below, each of which would take most of a second for it.
import swift.account.server
import swift.common.middleware.s3api.s3api
import swift.container.server
import swift.proxy.server
from swift.common import wsgi
from swift.common.ring import RingBuilder
from swift.obj.server import global_conf_callback

folder, port, user, password, *identity = sys.argv[1:]
account, name = user.split(":")
STORES = ["account", "container", "object"]
DISK = "disk"

DEFAULT = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {folder}
devices = {folder}
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
recon_cache_path = {folder}
# Swift always writes to the system log as well; the discard port keeps its lines out of there.
log_udp_host = 127.0.0.1
log_udp_port = 9
log_level = WARNING
# On a busy machine a slow answer is no failure: Swift would give up, list an object late, and avoid the "broken" server.
conn_timeout = 30
node_timeout = 60
container_update_timeout = 60
error_suppression_limit = 1000000
"""

STORE = """
[pipeline:main]
pipeline = {store}-server
[app:{store}-server]
use = egg:swift#{store}
"""

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats {doors} copy slo dlo versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
"""
OWN_DOORS = """
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{name} = {password} .admin
"""
DOORS_OF_KEYSTONE = """
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
auth_url = {identity}
www_authenticate_uri = {identity}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = {account}
username = {name}
password = {password}
delay_auth_decision = true
cache = swift.cache
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = member
"""
PLAIN_FILTERS = "catch_errors gatekeeper healthcheck proxy-logging listing_formats bulk copy slo dlo symlink".split()

SWIFT = """
[swift-hash]
swift_hash_path_suffix = peer
[storage-policy:0]
name = only
default = yes
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write(file, text):
    with open(os.path.join(folder, file), "w") as out:
        out.write(text)


def write_ring(store, store_port):
    ring = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": store_port, "device": DISK, "weight": 1})
    ring.rebalance()
    ring.get_ring().save(os.path.join(folder, f"{store}.ring.gz"))


def run(server, server_port, conf, **options):
    """Runs one of Swift's servers in a process of its own."""
    write(f"{server}.conf", DEFAULT.format(port=server_port, folder=folder) + conf)
    if os.fork() == 0:
        # Swift asks for a session of its own, which would take it out of the process group that is killed in the end.
        os.setsid = lambda: None
        sys.exit(wsgi.run_wsgi(os.path.join(folder, f"{server}.conf"), f"{server}-server", verbose=True, **options))


os.mkdir(os.path.join(folder, DISK))
memcached, *store_ports = free_ports(1 + len(STORES))
write("swift.conf", SWIFT)

root = ["-u", "root"] if os.geteuid() == 0 else []
subprocess.Popen(["memcached", *root, "-l", "127.0.0.1", "-p", str(memcached), "-U", "0", "-m", "16"])
for store, store_port in zip(STORES, store_ports):
    write_ring(store, store_port)
    options = {"global_conf_callback": global_conf_callback} if store == "object" else {}
    run(store, store_port, STORE.format(store=store), **options)

names, doors = ("bulk authtoken keystoneauth", DOORS_OF_KEYSTONE) if identity else ("s3api bulk tempauth", OWN_DOORS)
proxy = PROXY.format(doors=names, memcached=memcached)
proxy += doors.format(account=account, name=name, password=password, identity="".join(identity))
proxy += "".join(f"[filter:{each}]\nuse = egg:swift#{each.replace('-', '_')}\n" for each in PLAIN_FILTERS)
run("proxy", port, proxy)
os.wait()
sys.exit("a server of Swift's has ended")
