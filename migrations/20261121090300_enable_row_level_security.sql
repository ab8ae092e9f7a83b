-- The second lock between tenants. A connection that serves one tenant sets `trunkline.account_id` for its transaction
-- (`shared::db::tenant`) and then sees and writes that tenant's rows alone; a connection that serves the system
-- (jobs, webhooks before their call is known) sets nothing. Forced, because the service owns its tables.
do $$
declare
    t text;
begin
    foreach t in array array['api_keys', 'voice_agents', 'voice_agent_versions', 'contacts', 'campaigns', 'campaign_windows',
        'imports', 'import_rows', 'leads', 'do_not_call', 'calls', 'call_events', 'streams', 'turns', 'conversations',
        'recordings', 'pace_buckets']
    loop
        execute format('alter table %I enable row level security', t);
        execute format('alter table %I force row level security', t);
        execute format($policy$
            create policy tenant on %I using (
                nullif(current_setting('trunkline.account_id', true), '') is null
                or account_id = nullif(current_setting('trunkline.account_id', true), '')::bigint
            )
        $policy$, t);
    end loop;
end
$$;
