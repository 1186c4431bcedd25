# Where the effect of each option and each key is shown: by file, the name -> the test that would fail if it
# did nothing.
#
# Rule: whoever adds an option adds its witness here; tests/test_witnesses.py refuses an option without one,
# and a witness that does not exist. A test of reading (this text is that value) is none: behaviour counts.

from __future__ import annotations

from collections.abc import Mapping

Witnesses = Mapping[str, Mapping[str, str]]

SERVE: Witnesses = {
    "integration/test_verified_deploys.py": {
        "health_check": "test_a_broken_deploy_costs_no_request_and_the_old_code_goes_on",
        "health_check_header": "test_the_application_is_told_scheme_host_and_fields_of_the_check",
        "check_command": "test_a_broken_deploy_costs_no_request_and_the_old_code_goes_on",
        "warm_up": "test_a_worker_is_asked_before_clients_come",
        "max_surge": "test_several_workers_are_replaced_at_a_time",
        "max_unavailable": "test_several_workers_are_replaced_at_a_time",
        "keep_generations": "test_the_code_before_is_kept_and_gone_back_to",
        "canary_time": "test_what_shows_with_clients_only_ends_a_deploy",
        "canary_errors": "test_what_is_good_enough_is_for_the_thresholds_to_say",
        "canary_latency": "test_what_is_good_enough_is_for_the_thresholds_to_say",
        "canary_requests": "test_what_is_good_enough_is_for_the_thresholds_to_say",
        "check_timeout": "test_a_check_command_that_hangs_is_not_waited_for",
    },
    "integration/test_time_limits.py": {
        "timeout_for": "test_only_the_request_is_interrupted",
        "timeout_action": "test_a_worker_that_is_to_be_killed_is_killed",
    },
    "backends/test_gates.py": {
        "allow": "test_clients_are_let_in_by_address",
        "deny": "test_clients_are_let_in_by_address",
        "basic_auth": "test_users_are_let_in_by_password",
        "basic_auth_realm": "test_users_are_let_in_by_password",
        "canonical_host": "test_pages_of_errors_and_of_maintenance",
        "error_page": "test_pages_of_errors_and_of_maintenance",
        "maintenance_file": "test_pages_of_errors_and_of_maintenance",
        "static_fallback": "test_what_is_no_file_leads_to_a_page_or_to_the_application",
    },
    "integration/test_shared_limits.py": {
        "limit_address_connections": "test_an_address_has_so_many_connections_over_workers_and_their_deaths",
        "limit_address_rate": "test_an_address_has_one_rate_over_workers_their_deaths_and_reloads",
        "rate_limit_fields": "test_an_address_has_one_rate_over_workers_their_deaths_and_reloads",
    },
    "integration/test_app_metrics.py": {
        "app_metrics": "test_counts_of_all_workers_are_added_up",
    },
    "integration/test_each_key.py": {
        "error_logfile": "test_options_of_serve_show_in_its_log",
        "log_level": "test_options_of_serve_show_in_its_log",
        "max_requests_jitter": "test_each_worker_adds_to_the_requests_after_which_it_is_replaced",
        "reuse_port": "test_options_of_serve_show_in_its_socket",
        "backlog": "test_options_of_serve_show_in_its_socket",
        "factory": "test_options_of_serve_show_in_its_worker",
        "pythonpath": "test_options_of_serve_show_in_its_worker",
        "switch_interval": "test_options_of_serve_show_in_its_worker",
        "server_header": "test_options_of_serve_show_in_its_worker",
        "capture_output": "test_stdout_of_the_application_goes_where_its_stderr_goes",
    },
    "integration/test_admin.py": {
        "admin": "test_counters_are_what_clients_counted_over_deaths",
        "drain_delay": "test_a_site_may_go_on_for_a_while_when_it_is_not_ready_any_more",
        "admin_hosts": "test_names_of_the_machine_are_answered_where_they_are_given",
        "admin_allow": "test_who_is_not_on_the_list_is_told_nothing",
        "admin_token_file": "test_figures_need_the_token_and_probes_do_not",
    },
    "integration/test_auto.py": {
        "tls_storage": "test_what_was_kept_is_served_at_once_whatever_the_ca_and_the_keeper_do",
        "acme_directory": "test_a_site_gets_its_certificate_while_it_serves",
        "acme_root_cert": "test_a_site_gets_its_certificate_while_it_serves",
        "acme_dns_hook": "test_in_the_middle_of_an_order",
        "acme_dns_wait": "test_in_the_middle_of_an_order",
        "tls_keeper_user": "test_an_account_of_its_own_for_the_keeper",
    },
    "integration/test_shared_tickets.py": {
        "tls_ticket_secret": "test_sites_of_one_file_resume_each_others_sessions",
    },
    "config/test_acme.py": {
        "tls_storage_ephemeral": "test_storage_that_would_be_gone_is_refused",
    },
    "integration/test_auto_issuers.py": {
        "acme_email": "test_what_a_ca_is_told",
        "acme_profile": "test_what_a_ca_is_told",
        "acme_eab": "test_what_a_ca_is_told",
        "acme_fallback": "test_a_second_ca_is_asked_when_the_first_cannot",
        "acme_fallback_eab": "test_a_second_ca_is_asked_when_the_first_cannot",
    },
    "integration/test_otlp.py": {
        "otlp_endpoint": "test_what_a_site_counts_arrives_with_the_last_of_it",
    },
    "integration/test_statsd.py": {
        "statsd_host": "test_what_a_site_counts_arrives_exactly_over_deaths_and_the_end",
        "statsd_prefix": "test_what_a_site_counts_arrives_exactly_over_deaths_and_the_end",
        "dogstatsd_tags": "test_what_a_site_counts_arrives_exactly_over_deaths_and_the_end",
        "enable_backlog_metric": "test_what_a_site_counts_arrives_exactly_over_deaths_and_the_end",
    },
    "integration/test_stats.py": {
        "stats": "test_what_a_site_counts_is_exact_and_never_goes_back",
    },
    "integration/test_edge_options.py": {
        "chdir": "test_a_relative_folder_counts_from_chdir",
        "forwarded_allow_ips": "test_balancers_and_proxies",
        "forwarded_headers": "test_balancers_and_proxies",
        "proxy_protocol": "test_balancers_and_proxies",
        "static": "test_static_files_and_private_ones",
        "sendfile_root": "test_static_files_and_private_ones",
        "proxy": "test_another_server_answers_some_paths",
        "proxy_connect_timeout": "test_another_server_answers_some_paths",
        "proxy_timeout": "test_another_server_answers_some_paths",
        "proxy_connections": "test_another_server_answers_some_paths",
    },
    "backends/test_compression.py": {
        "compress": "test_text_is_compressed",
    },
    "integration/test_cache.py": {
        "cache": "test_what_is_asked_for_arrives_in_the_workers_and_they_keep_it_together",
        "cache_cookies": "test_what_is_asked_for_arrives_in_the_workers_and_they_keep_it_together",
    },
    "integration/test_answers.py": {
        "compress_types": "test_what_is_asked_for_arrives_in_the_workers",
        "compress_min": "test_what_is_asked_for_arrives_in_the_workers",
        "accel_headers": "test_what_is_asked_for_arrives_in_the_workers",
        "security_headers": "test_what_is_asked_for_arrives_in_the_workers",
        "add_header": "test_what_is_asked_for_arrives_in_the_workers",
    },
    "integration/test_gunicorn_hooks.py": {
        "hooks": "test_a_module_has_hooks_without_a_file_of_gunicorn",
    },
    "integration/test_gunicorn_logs.py": {
        "logger_class": "test_a_class_and_a_file_of_pythons_logging_without_any_of_gunicorns",
        "log_config": "test_a_class_and_a_file_of_pythons_logging_without_any_of_gunicorns",
        "log_config_json": "test_a_class_and_a_file_of_pythons_logging_without_any_of_gunicorns",
    },
    "integration/test_gunicorn_file.py": {
        "config": "test_a_file_of_gunicorn_is_all_that_a_site_needs",
    },
    "cli/test_serving.py": {
        "env": "test_sources_arrive_in_the_workers",
        "bind": "test_several_addresses_at_once",
        "workers": "test_sources_arrive_in_the_workers",
        "access_logfile": "test_the_access_log_has_what_its_format_asks_for",
        "access_logformat": "test_the_access_log_has_what_its_format_asks_for",
        "log_json": "test_everything_that_a_json_site_writes_is_json",
        "reload_extra_file": "test_a_reload_when_an_extra_file_changes",
        "umask": "test_sources_arrive_in_the_workers",
    },
    "backends/test_http2.py": {
        "http1_only": "test_what_is_agreed_on",
        "http2_max_concurrent_streams": "test_limits_of_options",
        "http2_max_resets": "test_limits_of_options",
        "http2_initial_window_size": "test_limits_of_options",
    },
    "integration/test_https.py": {
        "tls": "test_other_clients",
        "certfile": "test_gunicorns_flags",
        "keyfile": "test_gunicorns_flags",
        "tls_ciphers": "test_gunicorns_flags",
        "tls_min": "test_what_is_agreed_on",
        "tls_unknown_name": "test_what_is_agreed_on",
        "handshake_timeout": "test_the_time_of_a_handshake",
        "client_ca": "test_certificates_of_clients",
        "client_crl": "test_revoked_certificates_of_clients",
        "client_auth": "test_certificates_of_clients",
        "http_bind": "test_http_beside_it",
        "https_redirect": "test_http_beside_it",
        "hsts": "test_http_beside_it",
    },
    "integration/test_unix_sockets.py": {
        "bind_mode": "test_a_proxy_of_another_user_may_connect",
        "bind_owner": "test_a_proxy_of_another_user_may_connect",
        "bind_group": "test_a_proxy_of_another_user_may_connect",
    },
    "backends/test_wsgi_fairness.py": {
        "threads": "test_n_threads_mean_n_calls_at_a_time_and_no_more",
        "header_timeout": "test_a_head_that_does_not_come_is_a_408",
        "body_timeout": "test_a_body_that_does_not_come_is_a_408_but_a_slow_one_is_not",
        "send_timeout": "test_a_client_that_does_not_read_is_given_up",
        "temp_dir": "test_a_slow_reader_holds_no_slot_while_there_is_room_on_disk",
        "main_thread": "test_in_the_main_thread_alone_everything_works_but_nothing_moves_meanwhile",
        "worker_connections": "test_a_worker_has_so_many_connections_and_no_more",
        "max_buffered": "test_beyond_that_the_application_waits",
    },
    "backends/test_limits.py": {
        "limit_concurrency": "test_one_request_too_many_is_told_so",
        "max_queue_time": "test_a_request_that_waited_too_long_is_told_so",
        "min_send_rate": "test_a_client_that_takes_an_answer_in_drops_is_given_up",
        "min_body_rate": "test_a_body_that_trickles_is_a_408",
        "min_header_rate": "test_a_head_that_trickles_is_a_408",
    },
    "integration/test_retirement.py": {
        "max_age": "test_a_worker_of_an_age_is_replaced_after_its_successor_is_there",
        "max_age_variance": "test_ages_differ_by_a_random_time",
        "max_memory": "test_a_worker_that_takes_too_much_memory_is_replaced",
    },
    "integration/test_backends.py": {
        "backend": "test_flask",
        "monkey": "test_gevent_leaves_the_library_alone_when_asked_to",
    },
    "integration/test_refork.py": {"refork": "test_all_are_forked_from_one_that_has_served"},
    "integration/test_while_serving.py": {
        "preload": "test_preload_shares_memory_and_auto_finds_threads",
        "max_requests": "test_max_requests_replaces_workers_and_loses_nothing",
        "timeout": "test_a_hung_request_is_reported_and_its_worker_replaced",
        "reload": "test_reload_on_file_change",
        "user": "test_identity_is_assumed_in_order",
        "group": "test_identity_is_assumed_in_order",
    },
    "integration/test_start_and_stop.py": {
        "graceful_timeout": "test_the_graceful_timeout_is_kept",
        "name": "test_workers_share_one_socket_and_their_titles_say_who_they_are",
        "pid": "test_the_pidfile_is_held_and_removed",
    },
    "integration/test_hard_times.py": {
        "boot_timeout": "test_a_fork_server_that_does_not_answer_is_replaced",
    },
    "backends/test_asgi_http.py": {
        "keep_alive": "test_keep_alive_can_be_turned_off",
        "slow_callback": "test_slow_callbacks_are_logged_when_asked_for",
    },
    "http/test_engine.py": {
        "limit_request_line": "test_limits_to_the_byte",
        "limit_request_fields": "test_limits_to_the_byte",
        "limit_request_field_size": "test_limits_to_the_byte",
        "limit_request_head": "test_limits_to_the_byte",
        "limit_request_body": "test_chunked_bodies_are_counted",
    },
    "integration/test_logs_of_applications.py": {
        "log_time_zone": "test_an_application_that_changes_its_zone_changes_no_line",
    },
    "cli/test_main.py": {
        "check_config": "test_check_config_loads_the_application_and_binds_nothing",
        "print_config": "test_print_config",
    },
    "test_paste.py": {
        "paste": "test_serve",
        "paste_logging": "test_the_loggers_of_the_file_by_option",
    },
    "backends/test_wsgi_stream.py": {
        "stream_bodies": "test_lines_are_answered_while_the_body_comes",
    },
    "backends/test_asgi_drain.py": {
        "loop": "test_which_loop_it_is",
        "lifespan": "test_lifespan_off_and_on",
    },
    "backends/test_asgi_websocket.py": {
        "ws_max_size": "test_a_message_that_is_too_long_closes",
        "ws_max_queue": "test_a_slow_application_holds_its_client_back",
        "ws_ping_interval": "test_a_client_that_answers_no_ping_is_closed",
        "ws_ping_timeout": "test_a_client_that_answers_no_ping_is_closed",
        "ws_per_message_deflate": "test_compression_can_be_turned_off",
        "ws_origins": "test_only_some_origins_may_connect",
    },
    "integration/test_started_by.py": {
        "daemon": "test_daemon_returns_when_the_site_is_served",
    },
    "integration/test_serve_control.py": {
        "control": "test_a_channel_at_a_path",
    },
    "integration/test_http_options.py": {
        "secure_scheme_headers": "test_what_proxies_say",
        "root_path": "test_script_name_and_no_limits",
    },
    "backends/test_same_for_both.py": {
        "header_map": "test_refused_before_the_application_and_its_body",
        "forwarder_headers": "test_fields_of_strangers_and_of_proxies",
        "methods": "test_any_method",
    },
    "backends/test_proxies.py": {
        "proxy_allow_ips": "test_others_than_balancers_speak_http_at_once",
    },
    "integration/test_mounts.py": {
        "mount": "test_each_application_is_told_its_place",
    },
    "integration/test_interfaces.py": {
        "interface": "test_serve_with_the_option",
    },
}
CIRCUS: Witnesses = {
    "integration/test_plugins.py": {
        "reload_on_change": "test_nobody_notices_bad_ones",
    },
    "integration/test_outputs.py": {
        "output_prefix": "test_names_can_be_left_out",
    },
    "integration/test_run.py": {
        "endpoint": "test_over_tcp_a_key_says_who_may_what",
        "server_key": "test_over_tcp_a_key_says_who_may_what",
        "client_keys": "test_over_tcp_a_key_says_who_may_what",
        "warmup_delay": "test_watchers_start_one_after_the_other",
        "logoutput": "test_the_daemons_own_log_can_go_to_syslog_or_where_a_file_says",
        "loggerconfig": "test_the_daemons_own_log_can_go_to_syslog_or_where_a_file_says",
    },
    "integration/test_admin.py": {
        "drain_delay": "test_applications_of_a_file_go_on_for_a_while_too",
    },
    "integration/test_stats.py": {
        "statsd": "test_clients_of_circus_understand_all_of_it",
        "stats_endpoint": "test_clients_of_circus_understand_all_of_it",
    },
    "integration/test_circus_defects.py": {
        "check_delay": "test_reloadconfig_does_what_changed_and_no_more",
    },
    "integration/test_each_key.py": {
        "endpoint_owner": "test_keys_of_the_daemon",
        "pubsub_endpoint": "test_keys_of_the_daemon",
        "pidfile": "test_keys_of_the_daemon",
        "umask": "test_keys_of_the_daemon",
        "loglevel": "test_keys_of_the_daemon",
        "log_time_zone": "test_keys_of_the_daemon",
    },
    "integration/test_run_options.py": {
        "multicast_endpoint": "test_who_asks_the_group_is_told_where_the_supervisor_is",
        "multicast_allow_ips": "test_who_asks_the_group_is_told_where_the_supervisor_is",
    },
    "web/test_spec.py": {
        "httpd": "test_a_file_of_circus_asks_for_a_console",
        "httpd_host": "test_a_file_of_circus_asks_for_a_console",
        "httpd_port": "test_a_file_of_circus_asks_for_a_console",
    },
    "config/test_ini.py": {
        "include": "test_the_main_file_wins_and_then_the_first_included",
        "include_dir": "test_the_main_file_wins_and_then_the_first_included",
    },
    "config/test_daemon.py": {
        "fqdn_prefix": "test_settings_of_the_daemon_that_are_worth_a_word",
        "debug": "test_a_plugin_being_debugged_says_everything",
        "debug_gc": "test_settings_of_the_daemon_that_are_worth_a_word",
    },
}
STATS: Witnesses = {
    "integration/test_otlp.py": {
        "otlp_endpoint": "test_a_file_says_where_to",
    },
    "integration/test_statsd.py": {
        "statsd_host": "test_a_file_names_each_application_and_sends_at_its_pace",
        "statsd_prefix": "test_a_file_names_each_application_and_sends_at_its_pace",
        "dogstatsd_tags": "test_a_file_names_each_application_and_sends_at_its_pace",
        "enable_backlog_metric": "test_a_file_names_each_application_and_sends_at_its_pace",
        "statsd_dialect": "test_names_of_circus",
    },
    "integration/test_stats.py": {
        "intervals": "test_a_watcher_may_have_an_interval_of_its_own",
        "interval": "test_the_pace_and_the_past_are_as_the_file_says",
        "history": "test_the_pace_and_the_past_are_as_the_file_says",
        "details_interval": "test_what_is_costly_is_read_less_often",
    },
}
WEB: Witnesses = {
    "web/test_file.py": {
        "bind": "test_a_file_has_a_console",
        "state": "test_a_file_has_a_console",
        "hosts": "test_a_file_has_a_console",
        "certfile": "test_a_file_has_a_console",
        "keyfile": "test_a_file_has_a_console",
        "trusted_proxies": "test_a_file_has_a_console",
        "endpoints": "test_a_daemon_with_keys_lets_the_console_do_what_its_keys_may",
        "keys": "test_a_daemon_with_keys_lets_the_console_do_what_its_keys_may",
    },
    "web/test_cluster.py": {"cluster": "test_a_file_names_the_cluster_that_its_console_shows"},
}
CLUSTER: Witnesses = {
    "cluster/test_file.py": {
        "folder": "test_a_file_says_where_its_node_lives",
        "role": "test_a_file_says_where_its_node_lives",
    },
}
ADMIN: Witnesses = {
    "integration/test_admin.py": {
        "bind": "test_a_file_has_one_listener_for_all",
        "token_file": "test_a_file_has_one_listener_for_all",
        "allow": "test_a_file_says_who_is_answered",
        "hosts": "test_a_file_says_under_which_names",
    },
}
SOCKET: Witnesses = {
    "integration/test_https.py": {
        "tls": "test_applications_on_one_encrypted_socket",
    },
    "integration/test_run.py": {
        "host": "test_a_socket_becomes_what_the_file_says_and_loses_nobody",
        "port": "test_a_socket_becomes_what_the_file_says_and_loses_nobody",
        "so_reuseport": "test_each_process_can_have_a_queue_of_its_own",
        "close_when_unused": "test_a_socket_that_is_open_only_while_it_is_used",
    },
    "test_socket_types.py": {
        "family": "test_any_address_of_one_family",
        "interface": "test_one_interface_only",
        "blocking": "test_blocking_is_as_asked",
        "replace": "test_a_path_in_use_is_taken_only_with_replace",
    },
    "integration/test_run_options.py": {
        "type": "test_datagrams_that_wait_outlive_the_process_that_was_to_read_them",
    },
    "integration/test_each_key.py": {
        "proto": "test_the_protocol_of_a_raw_socket",
    },
    "test_rebinding.py": {
        "backlog": "test_the_queue_gets_longer_and_back_again",
    },
    "integration/test_unix_sockets.py": {
        "path": "test_sockets_of_files_have_keys_of_their_own",
        "umask": "test_sockets_of_files_have_keys_of_their_own",
        "mode": "test_sockets_of_files_have_keys_of_their_own",
        "owner": "test_sockets_of_files_have_keys_of_their_own",
        "group": "test_sockets_of_files_have_keys_of_their_own",
    },
}
PLUGIN: Witnesses = {
    "integration/test_circus_defects.py": {
        "use": "test_circus_own_plugins_are_run",
    },
    "integration/test_plugins.py": {
        "events": "test_programs_hear_acknowledge_and_ask",
        "role": "test_what_a_key_may_is_what_its_section_or_its_class_says",
        "hang_timeout": "test_nobody_notices_bad_ones",
        "state_file": "test_a_plugin_hears_remembers_and_ends",
    },
}
APP: Witnesses = {
    "integration/test_converted.py": {
        "env_file": "test_what_was_converted_serves",
    },
    "integration/test_run.py": {
        "app": "test_an_application_that_is_described_anew_is_served_anew",
        "sockets": "test_sockets_keep_their_connections_over_a_reload_of_the_file",
    },
    "integration/test_routes.py": {
        "routes": "test_what_becomes_of_one_does_not_disturb_the_others",
        "mounted": "test_where_they_are_mounted",
    },
    "integration/test_each_key.py": {
        "depends": "test_an_application_has_its_turn_among_commands",
        "priority": "test_an_application_has_its_turn_among_commands",
    },
}
WATCHER: Witnesses = {
    "integration/test_verified_commands.py": {
        "health_check": "test_a_changed_description_that_does_not_work_is_taken_back",
        "check_command": "test_a_reload_that_shows_nothing_leaves_the_old_processes",
        "check_timeout": "test_a_reload_that_shows_nothing_leaves_the_old_processes",
        "canary_time": "test_a_new_process_has_to_live_for_a_while",
    },
    "integration/test_autoscaling.py": {
        "scale_command": "test_a_command_says_how_many_processes_are_wanted",
        "scale_interval": "test_a_command_says_how_many_processes_are_wanted",
    },
    "integration/test_outputs.py": {
        "output_prefix": "test_names_can_be_left_out",
    },
    "integration/test_each_key.py": {
        "cmd": "test_a_key_of_a_watcher_shows_in_its_process",
        "args": "test_a_key_of_a_watcher_shows_in_its_process",
        "shell": "test_a_key_of_a_watcher_shows_in_its_process",
        "shell_args": "test_a_key_of_a_watcher_shows_in_its_process",
        "working_dir": "test_a_key_of_a_watcher_shows_in_its_process",
        "copy_env": "test_a_key_of_a_watcher_shows_in_its_process",
        "copy_path": "test_a_key_of_a_watcher_shows_in_its_process",
        "env_file": "test_a_key_of_a_watcher_shows_in_its_process",
        "virtualenv": "test_a_key_of_a_watcher_shows_in_its_process",
        "virtualenv_py_ver": "test_a_key_of_a_watcher_shows_in_its_process",
        "umask": "test_a_key_of_a_watcher_shows_in_its_process",
        "nice": "test_a_key_of_a_watcher_shows_in_its_process",
        "cpu_affinity": "test_a_key_of_a_watcher_shows_in_its_process",
        "oom_score_adj": "test_a_key_of_a_watcher_shows_in_its_process",
        "no_new_privs": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_as": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_core": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_cpu": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_data": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_fsize": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_memlock": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_msgqueue": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_nice": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_nofile": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_nproc": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_ofile": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_rss": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_rtprio": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_rttime": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_sigpending": "test_a_key_of_a_watcher_shows_in_its_process",
        "rlimit_stack": "test_a_key_of_a_watcher_shows_in_its_process",
        "stdin_socket": "test_a_key_of_a_watcher_shows_in_its_process",
        "close_child_stdout": "test_a_key_of_a_watcher_shows_in_its_process",
        "close_child_stderr": "test_a_key_of_a_watcher_shows_in_its_process",
    },
    "supervisor/test_commands.py": {
        "uid": "test_another_user_with_his_groups",
        "cgroup": "test_even_a_daemon_that_left_the_session_is_ended",
        "cgroup_cpus": "test_limits_of_a_control_group_are_written_to_it",
        "cgroup_memory": "test_limits_of_a_control_group_are_written_to_it",
        "cgroup_pids": "test_limits_of_a_control_group_are_written_to_it",
        "stop_signals": "test_signals_come_in_sequence",
        "stop_command": "test_a_command_can_stand_in_for_the_first_signal",
        "stop_children": "test_direct_children_can_be_signalled_too",
    },
    "config/test_accounts.py": {
        "gid": "test_a_command_has_no_group_of_root",
    },
    "integration/test_run.py": {
        "numprocesses": "test_reloadconfig_changes_what_changed",
        "depends": "test_dependencies_wait_for_readiness_and_stop_the_other_way",
        "graceful_timeout": "test_a_slow_stop_holds_up_nobody",
        "max_retry": "test_a_critical_watcher_that_gives_up_ends_the_daemon",
    },
    "supervisor/test_machine_wishes.py": {
        "singleton": "test_a_singleton_is_always_reloaded_so",
        "max_age_variance": "test_an_age_is_drawn_once_and_replaced_before_it_leaves",
    },
    "supervisor/test_supervisor.py": {
        "autostart": "test_not_all_start_by_themselves",
        "priority": "test_priority_orders_what_starts_together",
        "warmup_delay": "test_spawns_can_be_spread",
        "max_age": "test_age_is_answered_with_a_successor_first",
        "max_rss": "test_too_much_memory_is_answered_with_a_successor",
        "send_hup": "test_reload_by_hup_keeps_the_processes",
    },
    "integration/test_run_options.py": {
        "ready": "test_each_kind_of_readiness_is_waited_for_by_those_who_depend_on_it",
        "on_demand": "test_what_is_demanded_starts_stops_when_nobody_calls_and_starts_again",
        "idle_stop": "test_what_is_demanded_starts_stops_when_nobody_calls_and_starts_again",
        "schedule": "test_what_has_a_schedule_runs_at_its_minute_and_ends",
    },
    "supervisor/test_machine.py": {
        "boot_timeout": "test_past_the_boot_timeout_it_is_killed_and_that_is_a_death",
        "expected_exits": "test_unexpected_is_finished_by_an_expected_status",
    },
    "integration/test_circus_defects.py": {
        "stop_signal": "test_nothing_is_lost_while_a_stop_takes_its_time",
    },
    "integration/test_changes.py": {
        "overlap": "test_overlap_decides_for_both",
    },
    "integration/test_ends.py": {
        "respawn": "test_the_end_of_a_critical_watcher_is_the_end",
        "critical": "test_the_end_of_a_critical_watcher_is_the_end",
    },
    "supervisor/test_backoff.py": {
        "flapping.active": "test_a_night_of_crashes_does_not_overflow",
        "flapping.attempts": "test_without_attempts_the_first_death_waits",
        "flapping.window": "test_only_deaths_within_the_window_count",
        "flapping.retry_in": "test_the_first_deaths_are_answered_at_once_then_each_waits_longer",
        "flapping.max_retry": "test_after_max_retry_waits_in_a_row_the_slot_gives_up",
        "flapping.factor": "test_the_first_deaths_are_answered_at_once_then_each_waits_longer",
        "flapping.max_delay": "test_max_delay_limits_the_first_wait_too",
    },
    "integration/test_unix_sockets.py": {
        "sockets": "test_sockets_of_files_have_keys_of_their_own",
    },
    "cli/test_worker.py": {
        "use_sockets": "test_circus_itself",
    },
    "integration/test_descriptors.py": {
        "close_child_stdin": "test_programs_have_what_they_are_to_have_and_nothing_else",
    },
    "supervisor/test_hooks.py": {
        "hooks.before_start": "test_all_are_called_in_their_order",
        "hooks.after_start": "test_all_are_called_in_their_order",
        "hooks.before_spawn": "test_all_are_called_in_their_order",
        "hooks.after_spawn": "test_all_are_called_in_their_order",
        "hooks.before_stop": "test_all_are_called_in_their_order",
        "hooks.after_stop": "test_all_are_called_in_their_order",
        "hooks.before_signal": "test_all_are_called_in_their_order",
        "hooks.after_signal": "test_all_are_called_in_their_order",
        "hooks.before_reap": "test_all_are_called_in_their_order",
        "hooks.after_reap": "test_all_are_called_in_their_order",
        "hook_timeout": "test_one_that_hangs_delays_only_what_waits_for_it",
    },
    "control/test_server.py": {
        "hooks.extended_stats": "test_stats_are_those_of_circus",
    },
}
