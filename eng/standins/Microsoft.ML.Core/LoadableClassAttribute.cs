namespace Microsoft.ML
{
    internal delegate void SignatureLoadModel(ModelLoadContext ctx);

    internal abstract class LoadableClassAttributeBase : Attribute
    {
        protected LoadableClassAttributeBase(Type instType, Type loaderType, Type argType, Type sigType, string userName, string[] loadNames)
        {
            Contracts.CheckValue(instType, nameof(instType));
            Contracts.CheckValue(loaderType, nameof(loaderType));
            Contracts.CheckParam(sigType?.BaseType == typeof(MulticastDelegate), "sigTypes", "LoadableClass signature type must be a delegate type");
            InstanceType = instType;
            LoaderType = loaderType;
            ArgType = argType;
            SigTypes = [sigType];
            UserName = userName;
            LoadNames = loadNames is { Length: > 0 } ? loadNames : [userName];
            Contracts.CheckParam(!LoadNames.Any(string.IsNullOrWhiteSpace), nameof(loadNames), "LoadableClass loadName parameter can't be empty");
            IEnumerable<Type> parameters = sigType.GetMethod("Invoke").GetParameters().Select(parameter => parameter.ParameterType);
            CtorTypes = [.. argType == null ? parameters : parameters.Prepend(argType)];
        }

        public Type InstanceType { get; }
        public Type LoaderType { get; }
        public Type ArgType { get; }
        public Type[] SigTypes { get; }
        public Type[] CtorTypes { get; }
        public string UserName { get; }
        public string[] LoadNames { get; }
    }

    [AttributeUsage(AttributeTargets.Assembly, AllowMultiple = true)]
    internal sealed class LoadableClassAttribute : LoadableClassAttributeBase
    {
        public LoadableClassAttribute(Type instType, Type argType, Type sigType, string userName, params string[] loadNames)
            : base(instType, instType, argType, sigType, userName, loadNames) { }

        public LoadableClassAttribute(Type instType, Type loaderType, Type argType, Type sigType, string userName, params string[] loadNames)
            : base(instType, loaderType, argType, sigType, userName, loadNames) { }
    }
}
