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

if [[ ${1:-} == --isolated ]]; then
  shift
  export ROS_DOMAIN_ID
  ROS_DOMAIN_ID=$(free_domain)
  if [[ ${ROS_DISTRO:-} == humble ]]; then
    export ROS_LOCALHOST_ONLY=1
  else
    export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
  fi
fi
if [[ $# -eq 0 ]]; then
  echo 'usage: ros-env [--isolated] COMMAND...' >&2
  exit 2
fi

if [[ -d $venv/share/rclpy ]]; then  # ROS 2 from wheels: what a setup file would say of the environment itself
  export AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
  library_folders=$(printf '%s:' "$venv"/lib "$venv"/lib/python3*/site-packages/ros_*.libs)
  export LD_LIBRARY_PATH=${library_folders%:}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export ROS_DISTRO=kilted ROS_VERSION=2 ROS_PYTHON_VERSION=3
  export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1  # else each start of Python starts Python again to set LD_LIBRARY_PATH
fi
if [[ -f $root/install/setup.bash ]]; then
  set +u
  # shellcheck source=/dev/null
  source "$root/install/setup.bash"
  set -u
fi
export PATH=$venv/bin:$PATH
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$@"
