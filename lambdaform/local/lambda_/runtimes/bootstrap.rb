# frozen_string_literal: true

# The runtime client for Ruby: the public Runtime API and nothing but what Ruby ships.
#
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Handlers, answers, errors and log lines are as in
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-ruby.html.

require 'json'
require 'logger'
require 'net/http'
require 'stringio'

module Runtime
  PREFIX = '/2018-06-01/runtime'
  IS_JSON = ENV['AWS_LAMBDA_LOG_FORMAT'] == 'JSON'
  LEVELS = { 'TRACE' => 'DEBUG' }.freeze
  CRITICAL = [NameError].freeze # with NoMethodError: the code is wrong, so its process ends
  NAMED = %w[ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError].freeze

  class << self
    attr_accessor :request_id

    def connection
      @connection ||= begin
        host, port = ENV.fetch('AWS_LAMBDA_RUNTIME_API').split(':')
        made = Net::HTTP.new(host, port.to_i, nil)
        made.read_timeout = nil # the next event may take any time
        made.keep_alive_timeout = 1 << 30
        made.max_retries = 0
        made.start
      end
    end

    def post(path, body, headers)
      connection.post(PREFIX + path, body, headers)
    end

    def post_error(path, error, classification)
      described = {
        errorMessage: error.respond_to?(:original_message) ? error.original_message : error.message,
        errorType: "#{classification}<#{error.class}>",
        stackTrace: (error.backtrace || []).reject { |line| line.start_with?(__FILE__) }.first(100)
      }
      puts classification == 'Init' ? "Init error when loading handler #{ENV['_HANDLER']}" : heading(error)
      puts IS_JSON ? JSON.generate(described) : JSON.pretty_generate(described)
      kind = NAMED.include?(error.class.to_s) ? described[:errorType] : 'Function<UserException>'
      post(path, JSON.generate(described), 'Lambda-Runtime-Function-Error-Type' => kind)
    end

    def heading(error)
      critical?(error) ? 'Critical exception from handler' : 'Error raised from handler method'
    end

    def critical?(error)
      !error.is_a?(StandardError) || CRITICAL.any? { |kind| error.is_a?(kind) }
    end
  end

  # What a handler gets as `context:`.
  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name,
                :memory_limit_in_mb, :function_version, :identity, :client_context, :deadline_ms

    def initialize(head)
      @deadline_ms = head['Lambda-Runtime-Deadline-Ms'].to_i
      @aws_request_id = head['Lambda-Runtime-Aws-Request-Id']
      @invoked_function_arn = head['Lambda-Runtime-Invoked-Function-Arn']
      @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
      @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
      @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
      @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
      @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
      identity, client = head['Lambda-Runtime-Cognito-Identity'], head['Lambda-Runtime-Client-Context']
      @identity = JSON.parse(identity) if identity
      @client_context = JSON.parse(client) if client
    end

    def get_remaining_time_in_millis
      [@deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
    end
  end

  # Lines of a Logger: with the request's id, or objects where the function asks for JSON.
  class Lines < Logger::Formatter
    def call(severity, time, progname, msg)
      return "#{JSON.generate(object(severity, time, progname, msg))}\n" if IS_JSON

      stamp = time.strftime('%Y-%m-%dT%H:%M:%S.%6N')
      head = "#{severity[0]}, [#{stamp} ##{Process.pid}] #{severity.rjust(5)} #{Runtime.request_id}"
      "#{head} -- #{progname}: #{msg2str(msg)}\n"
    end

    def object(severity, time, progname, msg)
      found = { timestamp: time.utc.strftime('%Y-%m-%dT%H:%M:%S.%6NZ'), level: severity,
                message: msg.is_a?(Exception) ? msg.message : msg2str(msg), requestId: Runtime.request_id,
                logger: progname }
      if msg.is_a?(Exception)
        found.merge!(errorType: msg.class.to_s, errorMessage: msg.message, stackTrace: msg.backtrace)
      end
      found.compact
    end
  end

  # Gives loggers that write to the log these lines, and the function's level.
  module Lined
    def initialize(device = nil, *rest, **options)
      super
      return unless [$stdout, $stderr, STDOUT, STDERR, nil].include?(device)

      reopen($stdout) if device.nil?
      self.formatter ||= Lines.new
      level = ENV['AWS_LAMBDA_LOG_LEVEL']
      self.level = LEVELS.fetch(level.upcase, level) if level && !options.key?(:level)
    end
  end

  # The handler a setting such as `app.handler` or `app.Orders::Api.handler` names.
  class Handler
    def initialize(name)
      file, *holder, @method = name.split('.')
      if @method.nil? || holder.size > 1
        raise ArgumentError, "Invalid handler #{name.split('.')}, must be of form FILENAME.METHOD or " \
                             'FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source file ' \
                             'FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable ' \
                             'method. If using CLASS, METHOD must be a class-level method.'
      end
      @holder = holder.first
      $LOAD_PATH.unshift(Dir.pwd) unless $LOAD_PATH.include?(Dir.pwd)
      require file
    end

    def call(event, context)
      (@holder ? Kernel.const_get(@holder) : TOPLEVEL_BINDING.receiver)
        .__send__(@method, event: event, context: context)
    end
  end

  def self.serve(handler)
    answer = connection.get("#{PREFIX}/invocation/next")
    self.request_id = answer['Lambda-Runtime-Aws-Request-Id']
    ENV['_X_AMZN_TRACE_ID'] = answer['Lambda-Runtime-Trace-Id']
    path = "/invocation/#{request_id}"
    begin
      result = handler.call(JSON.parse(answer.body), Context.new(answer))
      body, kind = result.respond_to?(:read) ? [result.read, 'application/unknown'] : [result.to_json, 'application/json']
    rescue Exception => e # rubocop:disable Lint/RescueException - whatever is raised is the event's answer
      post_error("#{path}/error", e, 'Function')
      exit!(255) if critical?(e)
    else
      post("#{path}/response", body, 'Content-Type' => kind)
    end
  end

  def self.run
    $stdout.sync = true
    Logger.prepend(Lined)
    begin
      handler = Handler.new(ENV.fetch('_HANDLER'))
    rescue Exception => e # rubocop:disable Lint/RescueException - also what is no StandardError, such as LoadError
      post_error('/init/error', e, 'Init')
      exit!(252)
    end
    loop { serve(handler) }
  end
end

Runtime.run
