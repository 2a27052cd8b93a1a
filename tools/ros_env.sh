#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# ros_env.sh [--isolated] COMMAND...   (installed as .venv/bin/ros-env)
#
# Runs a command with ROS 2, the messages that `make build` made, this source tree and .venv/bin in its environment.
# --isolated keeps DDS on this machine and in a ROS domain that nobody else here uses.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
venv=$root/.venv

# A domain from 1 to 101 whose discovery port is free (port 7400 + 250 * domain, from the DDS-RTPS specification).
free_domain() {
  local domain port
  for _ in {1..50}; do
    domain=$((RANDOM % 101 + 1))
    port=$(printf ':%04X ' $((7400 + 250 * domain)))
    grep -qsF "$port" /proc/net/udp || break
  done
  echo "$domain"
}

isolated=false
if [[ ${1:-} == --isolated ]]; then
  isolated=true
  shift
fi
if [[ $# -eq 0 ]]; then
  echo 'usage: ros-env [--isolated] COMMAND...' >&2
  exit 2
fi

set +u  # setup files read variables that need not be there
for setup in "$venv/local_setup.bash" "$root/install/setup.bash"; do
  # shellcheck source=/dev/null
  if [[ -f $setup ]]; then source "$setup"; fi
done
set -u
if $isolated; then
  ROS_DOMAIN_ID=$(free_domain)
  export ROS_DOMAIN_ID
  if [[ ${ROS_DISTRO:-} == humble ]]; then
    export ROS_LOCALHOST_ONLY=1
  else
    export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
  fi
fi
export PATH=$venv/bin:$PATH
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$@"
